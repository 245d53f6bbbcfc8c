//! All recipes: those that the program brings, and those of `recipes.d/*.toml`.

use super::{Key, Recipe, files, user::User};
use crate::{
    error::{Error, Result},
    fleet::config::{Types, key::nearest},
    name::Shown,
};
use std::{path::Path, sync::Arc};

/// Recipes by their names.
#[derive(Clone)]
pub struct Recipes(Vec<Arc<dyn Recipe>>);

impl Recipes {
    /// Those that the program brings.
    pub fn builtin() -> Self {
        Recipes(vec![
            Arc::new(super::cvs::Cvs),
            Arc::new(super::drawmgt::Drawmgt),
            Arc::new(super::generic::Generic),
            Arc::new(super::git::Git),
            Arc::new(super::maildir::Maildir),
            Arc::new(super::mbox::Mbox),
            Arc::new(super::moinmoin::Moinmoin),
            Arc::new(super::mysql::Mysql),
            Arc::new(super::postgresql::Postgresql),
            Arc::new(super::rails::Rails),
            Arc::new(super::sqlite::Sqlite),
            Arc::new(super::svn::Svn),
            Arc::new(super::wordpress::Wordpress),
            Arc::new(super::wso2::Wso2),
        ])
    }

    /// These, and those of a folder, when it is there. One of the name of another stands in its place.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self> {
        for path in files::entries(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml"))
        {
            let recipe = User::read(&path)?;
            self.0.retain(|other| other.name() != recipe.name());
            self.0.push(Arc::new(recipe));
        }
        self.0.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(self)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Recipe> {
        self.0.iter().map(|recipe| &**recipe)
    }

    /// One by its name.
    pub fn find(&self, name: &str) -> Result<Arc<dyn Recipe>> {
        let found = self.0.iter().find(|recipe| recipe.name() == name).cloned();
        found.ok_or_else(|| {
            let hint = match nearest(name, self.iter().map(|recipe| recipe.name())) {
                Some(near) => format!("; did you mean \"{near}\"?"),
                None => ": see `vault recipe list`".into(),
            };
            Error::usage(format!("there is no recipe \"{}\"{hint}", Shown(name.as_bytes())))
        })
    }
}

impl Types for Recipes {
    fn keys(&self, name: &str) -> Option<&[Key]> {
        self.iter().find(|recipe| recipe.name() == name).map(|recipe| recipe.keys())
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|recipe| recipe.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_found_by_name() {
        let all = Recipes::builtin();
        let names: Vec<&str> = all.iter().map(|recipe| recipe.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(all.find("rails").unwrap().name(), "rails");
        assert!(all.find("rials").err().unwrap().to_string().contains("did you mean \"rails\""));
    }

    #[test]
    fn every_recipe_says_what_it_does() {
        for recipe in Recipes::builtin().iter() {
            let directions = recipe.directions();
            assert!(!recipe.about().is_empty() && !directions.restores.is_empty() && !directions.verifies.is_empty());
            assert!(!directions.reads.is_empty() || !directions.dumps.is_empty(), "{}", recipe.name());
        }
    }

    #[test]
    fn a_users_recipe_stands_in_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let text = "about = \"Rails in our way\"\n[[tree]]\nname = \"app\"\npath = \"{root}\"\n";
        std::fs::write(dir.path().join("rails.toml"), text).unwrap();
        let all = Recipes::builtin().with_folder(dir.path()).unwrap();
        assert_eq!(all.find("rails").unwrap().about(), "Rails in our way");
        assert_eq!(all.iter().count(), Recipes::builtin().iter().count());
    }
}
