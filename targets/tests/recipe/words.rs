//! Every command and argument exists in the tree of its version, parsed strings included; sizes; refusals.

use std::net::Ipv4Addr;

use routerpack_targets::recipe::{
    Action, Disk, Error, Health, LIMIT, Mount, Options, Port, Protocol, Restart, Source, Subject, Subnet, generate,
};

use crate::{
    console::{Behaviour, Failure, Router, Upload, import, trees},
    recipe, subject,
};

/// Everything that a recipe can say.
pub fn everything(name: &str) -> Options {
    let mut o = Options::new(name);
    o.ports = vec![
        Port { outside: 8080, inside: 80, protocol: Protocol::Tcp },
        Port { outside: 5353, inside: 53, protocol: Protocol::Udp },
    ];
    o.env = vec![("TOKEN".into(), "se\"cr$t\\ ?\n[/quit]".into()), ("B".into(), "é".into())];
    o.mounts = vec![
        Mount { src: None, dst: "/etc/app".into(), read_only: true },
        Mount { src: Some("/usb1/media".into()), dst: "/media".into(), read_only: false },
    ];
    o.subnet6 = Some("fd12:3456:789a:1::".parse().unwrap());
    o.user = Some("1000:1000".into());
    o.workdir = Some("/srv".into());
    o.hostname = Some("box".into());
    o.memory_high = Some(64 << 20);
    o.memory_max = Some(96 << 20);
    o.swap_max = Some(0);
    o.cpu_list = Some("0,2-3".into());
    o.shm_size = Some(1 << 20);
    o.tmpfs = vec![(64 << 20, "/tmp".into()), (1024, "/run".into())];
    o.devices = vec!["serial0:".into()];
    o.hosts = vec![("nas".into(), "192.168.88.2".parse().unwrap())];
    o.restart = Some(Restart { on_failure: true, interval: 10, max_count: Some(3) });
    o.health = Some(Health {
        cmd: vec!["/app".into(), "check".into()],
        interval: Some(30),
        timeout: Some(5),
        retries: Some(3),
        start_period: Some(10),
    });
    o.stop_time = Some(20);
    o.privileged = true;
    o.remove_archive = true;
    o.keep_former = true;
    o
}

fn each(o: &Options) -> Vec<Options> {
    let with = |change: &dyn Fn(&mut Options)| {
        let mut o = o.clone();
        change(&mut o);
        o
    };
    vec![
        o.clone(),
        Options::new("plain"),
        with(&|o| o.disk = Disk::Slot("usb1".into())),
        with(&|o| o.disk = Disk::Internal),
        with(&|o| o.lan = Some("bridge".into())),
        with(&|o| o.publish_wan = true),
        with(&|o| o.dns = vec!["9.9.9.9".parse().unwrap(), Ipv4Addr::new(172, 31, 200, 1).into()]),
        with(&|o| o.dns = vec!["9.9.9.9".parse().unwrap()]),
        with(&|o| o.restart = Some(Restart { on_failure: false, interval: 5, max_count: None })),
        with(&|o| {
            o.logging = false;
            o.start_on_boot = false;
        }),
        with(&|o| {
            o.entrypoint = Some(vec!["/bin/other".into()]);
            o.cmd = Some(vec!["a".into(), "b".into()]);
        }),
        with(&|o| o.subnet = Subnet::parse("10.77.0.0/28").unwrap()),
    ]
}

fn sources(s: &Subject) -> [Subject; 2] {
    let registry = Source::Registry { reference: "ghcr.io/acme/app:1".into(), size: 400 };
    [s.clone(), Subject { source: registry, ..s.clone() }]
}

fn router(version: &str, s: &Subject, o: &Options) -> Router {
    let mut router = Router::new(version, version).unwrap();
    router
        .singles
        .get_mut("/system/resource")
        .unwrap()
        .insert("free-hdd-space".into(), crate::console::Value::Number(8 << 30));
    let upload = Upload { size: 1000, image: s.id.hex().into(), behaviour: Behaviour::Runs };
    match &s.source {
        Source::Registry { reference, .. } => {
            router.images.insert(reference.clone(), upload);
        }
        Source::Archive { .. } => {
            router.upload(&format!("{}-{}.tar", o.name, &s.id.hex()[..12]), upload);
        }
    }
    router
}

/// The whole file is parsed by importing it, and the strings of the branches that this version takes.
#[test]
fn every_word_is_in_the_tree_of_its_version() {
    let Some(trees) = trees() else { return };
    assert!(trees.len() >= 13, "only {} versions", trees.len());
    for s in sources(&subject("one")) {
        for (n, o) in each(&everything("web")).into_iter().enumerate() {
            // The first wishes are all words at once; the others differ from them by one.
            let versions = trees.keys().enumerate().filter(|(i, _)| n == 0 || i % 4 == n % 4);
            for (_, version) in versions {
                for routeros in [None, Some(version.parse().unwrap())] {
                    let mut o = o.clone();
                    o.routeros = routeros;
                    for action in [Action::Install, Action::Uninstall] {
                        o.action = action;
                        let recipe = recipe(&s, &o);
                        assert!(recipe.script.len() < LIMIT && recipe.script.is_ascii());
                        let mut router = router(version, &s, &o);
                        if let Err(e) = import(&mut router, &recipe.script) {
                            panic!("{version} {routeros:?} {:?} {o:?}: {e:?}\n{}", s.source, recipe.script);
                        }
                        assert_eq!(router.items("/container").len(), usize::from(action == Action::Install));
                        assert!(router.globals.is_empty(), "{:?}", router.globals.keys());
                        assert!(!router.screen.contains("cr$t"), "a secret is on the screen: {}", router.screen);
                    }
                }
            }
        }
    }
}

/// 7.21.0 and 7.21.1 have no tree of their own; theirs lacks two arguments of 7.21.2.
#[test]
fn a_recipe_for_7_21_0_lacks_what_7_21_2_brought() {
    let mut o = everything("web");
    o.routeros = Some("7.21.1".parse().unwrap());
    let old = recipe(&subject("one"), &o);
    assert!(!old.script.contains("shm-size=") && !old.script.contains("tmpfs="));
    assert!(old.notes.iter().any(|n| n == "shm-size needs RouterOS 7.21.2"), "{:?}", old.notes);
    o.routeros = Some("7.21.2".parse().unwrap());
    let new = recipe(&subject("one"), &o);
    assert!(new.script.contains("shm-size=") && new.script.contains("tmpfs=\"64M@/tmp,1K@/run\""));
}

/// The model itself: a word of another version ends the whole block before any of it runs.
#[test]
fn a_word_of_another_version_kills_its_block() {
    let Some(_) = trees() else { return };
    let bad = "{ :put \"first\" ; :do { /container/envs/add name=\"x\" key=\"a\" value=\"b\" } on-error={} }";
    let mut new = Router::new("7.20.8", "7.20.8").unwrap();
    assert!(matches!(import(&mut new, bad), Err(Failure::Parse(_))));
    assert_eq!(new.screen, "");
    let mut old = Router::new("7.19.6", "7.19.6").unwrap();
    import(&mut old, bad).unwrap();
    let parsed = "{ :local f ; :do { :set f [:parse \"/container/envs/add name=1\"] } on-error={ :put \"caught\" } }";
    import(&mut new, parsed).unwrap();
    assert_eq!(new.screen, "caught\n");
}

#[test]
fn an_argv_with_spaces_is_left_to_the_image() {
    let mut s = subject("one");
    s.config.config.entrypoint = vec!["sh".into(), "-c".into(), "a b; c".into()];
    let mut o = Options::new("web");
    for (version, said) in [("7.21.5", false), ("7.22.3", true)] {
        o.routeros = Some(version.parse().unwrap());
        let recipe = recipe(&s, &o);
        assert!(!recipe.script.contains(" entrypoint=\"") && !recipe.script.contains(" cmd=\""));
        assert_eq!(recipe.notes.iter().any(|n| n.contains("no command specified")), said, "{version}");
    }
    o.routeros = None;
    assert!(recipe(&s, &o).notes.iter().any(|n| n.contains("--bake-command")));
}

#[test]
fn what_can_be_no_recipe_is_refused() {
    let s = subject("one");
    let with = |change: &dyn Fn(&mut Options)| {
        let mut o = Options::new("web");
        change(&mut o);
        generate(&s, &o).unwrap_err()
    };
    for name in ["", "Web", "-a", "a b", "a\"b", &"x".repeat(33)] {
        assert!(matches!(with(&|o| o.name = name.into()), Error::Name(_)), "{name}");
    }
    let spaced = || Some(vec!["sh".to_string(), "a b".to_string()]);
    assert_eq!(with(&|o| o.cmd = spaced()), Error::Unspellable("--cmd"));
    assert_eq!(with(&|o| o.entrypoint = spaced()), Error::Unspellable("--entrypoint"));
    let secret = with(&|o| o.env = vec![("A".into(), "hidden\0".into())]);
    assert!(!secret.to_string().contains("hidden") && matches!(secret, Error::Value { .. }));
    assert!(matches!(with(&|o| o.env = vec![("".into(), "x".into())]), Error::Value { .. }));
    let mount = |dst: &str| Mount { src: None, dst: dst.into(), read_only: false };
    assert!(matches!(with(&|o| o.mounts = vec![mount("data")]), Error::Value { .. }));
    assert!(matches!(with(&|o| o.disk = Disk::Slot("a/b".into())), Error::Value { .. }));
    let long = with(&|o| o.env = vec![("A".into(), "x".repeat(LIMIT))]);
    assert!(matches!(long, Error::TooLong { .. }));

    let mut other = s.clone();
    other.config.architecture = "riscv64".into();
    assert!(matches!(generate(&other, &Options::new("web")), Err(Error::Platform(_))));
    let mut empty = s.clone();
    (empty.config.config.entrypoint, empty.config.config.cmd) = (vec![], vec![]);
    assert_eq!(generate(&empty, &Options::new("web")).unwrap_err(), Error::NoCommand);
}
