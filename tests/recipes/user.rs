use crate::world::World;
use std::fs;
use vault::fleet::recipe::Recipes;

#[test]
fn a_recipe_of_the_users_own_is_planned_restored_and_verified() {
    let mut world = World::new();
    let folder = world.folder("recipes.d");
    let text = "about = \"tickets\"\n[[tree]]\nname = \"app\"\npath = \"{root}/files\"\nexclude = [\"*.tmp\"]\n\
        [[verify]]\nwhat = \"the schema is there\"\nrun = [\"test\", \"-s\", \"app/schema\"]\n";
    fs::write(folder.join("tickets.toml"), text).unwrap();
    world.recipes = Recipes::builtin().with_folder(&folder).unwrap();
    let root = world.folder("srv/tickets/files");
    fs::write(root.join("schema"), "x").unwrap();
    fs::write(root.join("a.tmp"), "x").unwrap();
    let app = world.app(&format!("type = \"tickets\"\nroot = \"{}\"", world.path("srv/tickets").display()));
    let listed = world.snapshot(&app);
    assert_eq!(listed.snapshot.totals.files, 1);
    world.passes(&app, &listed);
    fs::write(root.join("schema"), "").unwrap();
    world.fails(&app, &world.snapshot(&app), "the schema is there");
    fs::write(folder.join("bad.toml"), "about = \"x\"\ncolour = 1\n").unwrap();
    assert!(Recipes::builtin().with_folder(&folder).err().unwrap().to_string().contains("bad.toml"));
}
