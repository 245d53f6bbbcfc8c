//! Five hundred applications in one configuration.

use super::Fleet;
use std::fmt::Write;

fn five_hundred(fleet: &Fleet, root: &str) -> String {
    let mut text = String::from("[repositories.local]\npath = \"{dir}/repo\"\n");
    for server in 0..10 {
        let name = if server == 0 { "alpha".to_owned() } else { format!("server{server}") };
        for vm in 0..5 {
            writeln!(text, "[servers.{name}.vms.vm{vm}.apps]").unwrap();
            for app in 0..10 {
                writeln!(text, "app{app} = {{ type = \"generic\", root = \"{root}\" }}").unwrap();
            }
        }
    }
    let _ = fleet;
    text
}

#[test]
fn five_hundred_are_looked_at_and_those_of_this_machine_are_done() {
    let fleet = Fleet::new("");
    fleet.files("app", &[("a", "b")]);
    fleet.write(&five_hundred(&fleet, "{dir}/app"));
    fleet.run(&["config", "check"]).expect(0);
    let run = fleet.run(&["run", "server:alpha", "--json"]).expect(0).result();
    assert_eq!(run["jobs"].as_array().unwrap().len(), 50);
    let own = fleet.run(&["status", "--json"]).expect(3).result();
    assert_eq!(own["applications"].as_array().unwrap().len(), 50);
    let all = fleet.run(&["status", "--all", "--json"]).expect(3).result();
    let all = all["applications"].as_array().unwrap();
    assert_eq!(all.len(), 500);
    let absent = all.iter().filter(|one| one["red"].to_string().contains("there is no snapshot")).count();
    assert_eq!(absent, 450);
}
