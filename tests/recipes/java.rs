use crate::world::{Load, World, run};
use std::{fs, path::PathBuf};

fn product(world: &World) -> PathBuf {
    let home = world.folder("opt/wso2am");
    for (name, text) in [
        ("bin/api-manager.sh", "#!/bin/sh"),
        (
            "repository/conf/deployment.toml",
            "[keystore.primary]\npassword = \"geheim\"\n[database.apim_db]\ntype = \"h2\"\n",
        ),
        ("repository/conf/carbon.xml", "<Server/>"),
        ("repository/deployment/server/carbonapps/shop_1.0.0.car", "zip"),
        ("repository/components/patches/patch0001/x.jar", "jar"),
        ("repository/database/WSO2AM_DB.h2.db", "h2"),
        ("repository/logs/wso2carbon.log", "line"),
        ("tmp/work", "x"),
        ("updates/backup/old", "x"),
    ] {
        fs::create_dir_all(home.join(name).parent().unwrap()).unwrap();
        fs::write(home.join(name), text).unwrap();
    }
    let security = world.folder("opt/wso2am/repository/resources/security");
    for (name, password) in [("wso2carbon.jks", "geheim"), ("client-truststore.jks", "wso2carbon")] {
        run(
            &security,
            &[
                "keytool",
                "-genkeypair",
                "-keystore",
                name,
                "-storetype",
                "JKS",
                "-storepass",
                password,
                "-keypass",
                password,
                "-alias",
                "a",
                "-dname",
                "CN=a",
                "-keyalg",
                "EC",
            ],
        );
    }
    home
}

#[test]
fn a_product_comes_back_with_keystores_that_open() {
    let world = World::new();
    let home = product(&world);
    let app = world.app(&format!("type = \"wso2\"\nhome = \"{}\"", home.display()));
    let at = home.clone();
    let load = Load::new(move |n| fs::write(at.join("repository/logs/wso2carbon.log"), format!("{n}")).unwrap());
    let listed = world.snapshot(&app);
    load.end();
    world.restore(&app, &listed, "back", None);
    let back = |name: &str| world.path("back/app").join(name);
    assert!(back("repository/components/patches/patch0001/x.jar").is_file() && back("repository/logs").is_dir());
    for gone in ["repository/logs/wso2carbon.log", "tmp/work", "updates/backup"] {
        assert!(!back(gone).exists(), "{gone}");
    }
    world.passes(&app, &listed);
    // A keystore that is missing, and one that does not open.
    let keystore = home.join("repository/resources/security/wso2carbon.jks");
    let bytes = fs::read(&keystore).unwrap();
    let sources = world.sources(&app);
    fs::remove_file(&keystore).unwrap();
    world.fails(&app, &world.take(&app, sources), "wso2carbon.jks: it is missing");
    fs::write(&keystore, &bytes[..bytes.len() - 30]).unwrap();
    let sources = world.sources(&app);
    world.fails(&app, &world.take(&app, sources), "wso2carbon.jks: it does not open");
}

#[test]
fn only_the_configuration_and_every_datasource() {
    let world = World::new();
    let home = product(&world);
    fs::write(home.join("repository/components/plugins"), "big").unwrap();
    let toml = "[database.apim_db]\ntype = \"mysql\"\nhostname = \"db\"\nname = \"apim\"\nusername = \"u\"\npassword = \"p\"\n\
        [database.shared_db]\ntype = \"mysql\"\nhostname = \"db\"\nname = \"apim\"\n[database.other]\nurl = \"jdbc:oracle:thin:@x\"\n";
    fs::write(home.join("repository/conf/deployment.toml"), toml).unwrap();
    let lines = format!("type = \"wso2\"\nhome = \"{}\"\nscope = \"configuration\"", home.display());
    let said = world.refused(&world.app(&lines));
    assert!(said.contains("skip-datasources"), "{said}");
    let mut plan = world.plan(&world.app(&format!("{lines}\nskip-datasources = [\"other\"]")));
    assert_eq!(plan.databases.len(), 1, "two datasources of one database are dumped once");
    plan.databases.clear();
    let app = world.app(&lines);
    let listed = world.take(&app, plan.sources(&[], &world.scratch()).unwrap());
    let (index, _) = world.repo.load_index(true).unwrap();
    let reader = vault::repo::BlobReader::new(&world.repo, &index);
    let request = vault::ops::restore::Request {
        path: Some(b"app".to_vec()),
        target: world.path("back").into_os_string().into_encoded_bytes(),
        ..Default::default()
    };
    vault::ops::restore::restore(&reader, &listed, &request, &vault::monitor::Silent).unwrap();
    let back = |name: &str| world.path("back").join(name);
    for there in [
        "bin/api-manager.sh",
        "repository/conf/carbon.xml",
        "repository/resources/security/wso2carbon.jks",
        "repository/deployment/server/carbonapps/shop_1.0.0.car",
        "repository/components/patches/patch0001/x.jar",
    ] {
        assert!(back(there).exists(), "{there}");
    }
    assert!(!back("repository/components/plugins").exists());
}
