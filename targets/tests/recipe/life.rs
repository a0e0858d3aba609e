//! Install twice, update, failed update, rollback, uninstall: the router's state after each.

use routerpack_targets::recipe::{Action, Disk, Options, Port, Protocol, Subject};

use crate::{
    console::{Behaviour, Failure, Router, Upload, Value, import, trees},
    recipe, subject,
    words::everything,
};

const TAG: &str = "routerpack:web";

fn upload(router: &mut Router, s: &Subject, name: &str, behaviour: Behaviour) {
    let upload = Upload { size: 1000, image: s.id.hex().into(), behaviour };
    router.upload(&format!("usb1/{name}-{}.tar", &s.id.hex()[..12]), upload);
}

fn go(router: &mut Router, s: &Subject, o: &Options, action: Action) -> Result<(), String> {
    let mut o = o.clone();
    o.action = action;
    match import(router, &recipe(s, &o).script) {
        Ok(()) => Ok(()),
        Err(Failure::Run(why)) => Err(why),
        Err(other) => panic!("{}: {other:?}", router.version),
    }
}

fn containers(router: &Router) -> Vec<(String, String)> {
    let short = |root: String| root.rsplit('-').next().unwrap_or_default().to_string();
    let of = |i: &std::collections::BTreeMap<String, Value>| (short(i["root-dir"].string()), i["_state"].string());
    router.tagged("/container", TAG).into_iter().map(of).collect()
}

fn is(s: &Subject, state: &str) -> Vec<(String, String)> {
    vec![(s.id.hex()[..12].to_string(), state.to_string())]
}

/// Runs a life on each version, by a recipe for all versions and by one for this.
fn on_each_version(life: impl Fn(Router, Options)) {
    let Some(trees) = trees() else { return };
    for version in trees.keys() {
        for routeros in [None, Some(version.parse().unwrap())] {
            let mut o = everything("web");
            (o.remove_archive, o.keep_former) = (false, false);
            o.routeros = routeros;
            life(Router::new(version, version).unwrap(), o);
        }
    }
}

#[test]
fn a_second_install_changes_nothing() {
    on_each_version(|mut router, o| {
        let s = subject("one");
        upload(&mut router, &s, "web", Behaviour::Runs);
        go(&mut router, &s, &o, Action::Install).unwrap();
        assert_eq!(containers(&router), is(&s, "running"));
        let veth = router.tagged("/interface/veth", TAG)[0]["address"].string();
        assert!(veth.starts_with("172.31.200.2/24"), "{veth}");
        assert_eq!(router.tagged("/container/envs", TAG).len(), 2);
        assert_eq!(router.tagged("/container/mounts", TAG).len(), 3);
        let nat = router.tagged("/ip/firewall/nat", TAG);
        assert_eq!(nat.len(), 2);
        for rule in nat {
            assert_eq!(
                (rule["dst-address-type"].string(), rule["in-interface-list"].string()),
                ("local".into(), "LAN".into())
            );
            assert_eq!(rule["to-addresses"].string(), "172.31.200.2");
        }
        // The accepts stand between what was accepted before and the first drop.
        let filter: Vec<String> = router.items("/ip/firewall/filter").iter().map(|r| r["comment"].string()).collect();
        assert_eq!(filter, ["defconf", TAG, TAG, "defconf", "defconf", "defconf"]);
        assert_eq!(router.singles["/ip/dns"]["servers"], Value::text(""));
        assert_eq!(router.singles["/container/config"]["tmpdir"], Value::text("usb1/routerpack-tmp"));

        let before = router.state();
        go(&mut router, &s, &o, Action::Install).unwrap();
        assert_eq!(router.state(), before);
        go(&mut router, &s, &o, Action::Update).unwrap();
        assert_eq!(router.state(), before, "an update to the same image");
    });
}

#[test]
fn an_update_replaces_the_container_and_keeps_the_rest() {
    on_each_version(|mut router, o| {
        let (one, two) = (subject("one"), subject("two"));
        upload(&mut router, &one, "web", Behaviour::Runs);
        assert!(go(&mut router, &one, &o, Action::Update).unwrap_err().contains("not installed"));
        go(&mut router, &one, &o, Action::Install).unwrap();
        upload(&mut router, &two, "web", Behaviour::Runs);
        let menus =
            ["/container/envs", "/container/mounts", "/interface/veth", "/ip/firewall/nat", "/ip/firewall/filter"];
        let rest = |r: &Router| menus.map(|m| format!("{:?}", r.items(m)));
        let before = rest(&router);
        let why = go(&mut router, &two, &o, Action::Install).unwrap_err();
        assert!(why.contains("set the action") && containers(&router) == is(&one, "running"), "{why}");
        go(&mut router, &two, &o, Action::Update).unwrap();
        assert_eq!(containers(&router), is(&two, "running"));
        assert_eq!(rest(&router), before);
        // And back, by the former recipe: its archive is still there.
        go(&mut router, &one, &o, Action::Update).unwrap();
        assert_eq!(containers(&router), is(&one, "running"));
    });
}

#[test]
fn a_failed_update_leaves_the_former_container_running() {
    on_each_version(|mut router, o| {
        let one = subject("one");
        upload(&mut router, &one, "web", Behaviour::Runs);
        go(&mut router, &one, &o, Action::Install).unwrap();
        for (content, behaviour, word) in
            [("broken", Behaviour::Broken, "unpacked"), ("exits", Behaviour::Exits, "keep running")]
        {
            let two = subject(content);
            upload(&mut router, &two, "web", behaviour);
            let why = go(&mut router, &two, &o, Action::Update).unwrap_err();
            assert!(why.contains(word) && why.contains("former container is back"), "{why}");
            assert_eq!(containers(&router), is(&one, "running"));
        }
        // The router has another image under this name: seen where the version shows its id.
        let (three, other) = (subject("three"), subject("other"));
        let upload = Upload { size: 1000, image: other.id.hex().into(), behaviour: Behaviour::Runs };
        router.upload(&format!("usb1/web-{}.tar", &three.id.hex()[..12]), upload);
        let shows = ["7.22.3", "7.23.3", "7.24"].contains(&&router.version[..]);
        let result = go(&mut router, &three, &o, Action::Update);
        assert_eq!(result.is_err_and(|why| why.contains("another image")), shows, "{}", router.version);
    });
}

#[test]
fn an_image_that_never_unpacks_is_given_up_after_half_an_hour() {
    on_each_version(|mut router, o| {
        // Half an hour of looking is long in here, too: one recipe a version.
        if o.routeros.is_some() {
            return;
        }
        let (one, two) = (subject("one"), subject("two"));
        upload(&mut router, &one, "web", Behaviour::Runs);
        go(&mut router, &one, &o, Action::Install).unwrap();
        upload(&mut router, &two, "web", Behaviour::Hangs);
        let start = router.clock;
        let why = go(&mut router, &two, &o, Action::Update).unwrap_err();
        assert!(why.contains("half an hour") && router.clock - start > 1800, "{why}");
        // A router doesn't remove what it is unpacking; the former one runs all the same.
        assert!(containers(&router).contains(&is(&one, "running")[0]), "{:?}", containers(&router));
    });
}

/// The power went while the new image was unpacked: the former container is stopped, the new one is not ready.
fn broken_off(router: &mut Router, o: &Options) -> (Subject, Subject) {
    let (one, two) = (subject("one"), subject("two"));
    upload(router, &one, "web", Behaviour::Runs);
    go(router, &one, o, Action::Install).unwrap();
    let mut later = router.clone();
    upload(&mut later, &two, "web", Behaviour::Runs);
    go(&mut later, &two, o, Action::Update).unwrap();
    let mut new = later.tagged("/container", TAG)[0].clone();
    new.insert("_state".into(), Value::text("stopped"));
    upload(router, &two, "web", Behaviour::Runs);
    let containers = router.menus.get_mut("/container").unwrap();
    containers[0].insert("_state".into(), Value::text("stopped"));
    containers.push(new);
    (one, two)
}

#[test]
fn an_update_that_broke_off_rolls_back_or_begins_anew() {
    on_each_version(|mut router, o| {
        let (one, two) = broken_off(&mut router, &o);
        let mut again = router.clone();
        go(&mut router, &two, &o, Action::Rollback).unwrap();
        assert_eq!(containers(&router), is(&one, "running"));
        go(&mut again, &two, &o, Action::Update).unwrap();
        assert_eq!(containers(&again), is(&two, "running"));
        let why = go(&mut again, &two, &o, Action::Rollback).unwrap_err();
        assert!(why.contains("no former container"), "{why}");
        assert_eq!(containers(&again), is(&two, "running"));
    });
}

#[test]
fn a_former_container_that_is_kept_comes_back_at_any_time() {
    on_each_version(|mut router, mut o| {
        o.keep_former = true;
        let [one, two, three] = ["one", "two", "three"].map(subject);
        for s in [&one, &two, &three] {
            upload(&mut router, s, "web", Behaviour::Runs);
        }
        go(&mut router, &one, &o, Action::Install).unwrap();
        go(&mut router, &two, &o, Action::Update).unwrap();
        let pair = |a: (&Subject, &str), b: (&Subject, &str)| [is(a.0, a.1), is(b.0, b.1)].concat();
        assert_eq!(containers(&router), pair((&one, "stopped"), (&two, "running")));
        let boots =
            |r: &Router| r.tagged("/container", TAG).iter().map(|c| c["start-on-boot"].string()).collect::<Vec<_>>();
        assert_eq!(boots(&router), ["false", "true"]);
        // The same again changes nothing, and a failed update harms neither that runs.
        let before = router.state();
        go(&mut router, &two, &o, Action::Update).unwrap();
        assert_eq!(router.state(), before);

        let mut back = router.clone();
        go(&mut back, &two, &o, Action::Rollback).unwrap();
        assert_eq!((containers(&back), boots(&back)), (is(&one, "running"), vec!["true".to_string()]));
        go(&mut back, &two, &o, Action::Update).unwrap();
        assert_eq!(containers(&back), pair((&one, "stopped"), (&two, "running")));

        let mut stopped = router.clone();
        stopped.menus.get_mut("/container").unwrap()[1].insert("_state".into(), Value::text("stopped"));
        for router in [&mut router, &mut stopped] {
            go(router, &three, &o, Action::Update).unwrap();
            assert_eq!(
                containers(router),
                pair((&two, "stopped"), (&three, "running")),
                "one former is kept, the newest"
            );
        }
        let broken = subject("broken");
        upload(&mut router, &broken, "web", Behaviour::Broken);
        let why = go(&mut router, &broken, &o, Action::Update).unwrap_err();
        assert!(why.contains("former container is back"), "{why}");
        assert_eq!(containers(&router), is(&three, "running"));
        go(&mut router, &three, &o, Action::Uninstall).unwrap();
        assert!(containers(&router).is_empty());
    });
}

#[test]
fn uninstalling_leaves_the_router_as_it_was() {
    on_each_version(|mut router, o| {
        let s = subject("one");
        upload(&mut router, &s, "web", Behaviour::Runs);
        let before = format!("{:?}", router.menus);
        go(&mut router, &s, &o, Action::Install).unwrap();
        go(&mut router, &s, &o, Action::Uninstall).unwrap();
        router.menus.retain(|_, items| !items.is_empty());
        assert_eq!(format!("{:?}", router.menus), before);
        go(&mut router, &s, &o, Action::Uninstall).unwrap();
    });
}

#[test]
fn two_recipes_share_the_bridge_and_nothing_else() {
    on_each_version(|mut router, o| {
        let s = subject("one");
        let mut other = Options::new("dns");
        other.ports = vec![Port { outside: 8081, inside: 80, protocol: Protocol::Tcp }];
        upload(&mut router, &s, "web", Behaviour::Runs);
        upload(&mut router, &s, "dns", Behaviour::Runs);
        go(&mut router, &s, &o, Action::Install).unwrap();
        go(&mut router, &s, &other, Action::Install).unwrap();
        assert!(
            router.tagged("/interface/veth", "routerpack:dns")[0]["address"].string().starts_with("172.31.200.3/24")
        );
        go(&mut router, &s, &o, Action::Uninstall).unwrap();
        assert!(router.tagged("/container", TAG).is_empty());
        assert_eq!(router.tagged("/container", "routerpack:dns").len(), 1);
        assert_eq!(router.tagged("/interface/bridge", "routerpack").len(), 1);
        assert_eq!(router.tagged("/ip/firewall/nat", "routerpack:dns").len(), 1);
        go(&mut router, &s, &other, Action::Uninstall).unwrap();
        assert!(router.tagged("/interface/bridge", "routerpack").is_empty());
    });
}

/// Each reason to stop is told in one sentence, and nothing has changed.
#[test]
fn a_router_that_does_not_fit_is_told_and_left_alone() {
    type Change = fn(&mut Router);
    fn field(router: &mut Router, menu: &str, key: &str, value: Value) {
        router.singles.get_mut(menu).unwrap().insert(key.into(), value);
    }
    let changes: &[(&str, Change)] = &[
        ("container package is missing", |r| r.menus.get_mut("/system/package").unwrap().clear()),
        ("not allowed by device-mode", |r| field(r, "/system/device-mode", "container", Value::Bool(false))),
        ("this router is x86_64", |r| field(r, "/system/resource", "architecture-name", Value::text("x86_64"))),
        ("RouterOS 7.9 or newer is needed", |r| field(r, "/system/resource", "version", Value::text("7.8 (stable)"))),
        ("no disk with ext4 or btrfs", |r| r.menus.get_mut("/disk").unwrap().clear()),
        ("several disks fit: usb1 nvme1", |r| r.disk("nvme1", "btrfs", 8 << 30)),
        ("must be free and there are only 1000 bytes", |r| {
            r.menus.get_mut("/disk").unwrap().clear();
            r.disk("usb1", "ext4", 1000);
        }),
        ("overlaps with this router's 172.31.0.1/16", |r| r.address("172.31.0.1/16", Value::Ip(0xac1f_0000), "bridge")),
        ("overlaps with this router's 172.31.200.130/25", |r| {
            r.address("172.31.200.130/25", Value::Ip(0xac1f_c880), "bridge")
        }),
        ("no name servers", |r| field(r, "/ip/dns", "dynamic-servers", Value::text(""))),
        ("no interface list LAN", |r| r.menus.get_mut("/interface/list").unwrap().clear()),
        ("the archive is not here", |r| r.menus.get_mut("/file").unwrap().clear()),
        ("should have 1000 bytes and has 999", |r| {
            r.menus.get_mut("/file").unwrap()[0].insert("size".into(), Value::Number(999));
        }),
    ];
    let Some(trees) = trees() else { return };
    for version in trees.keys() {
        for (words, change) in changes {
            let mut router = Router::new(version, version).unwrap();
            let s = subject("one");
            upload(&mut router, &s, "web", Behaviour::Runs);
            change(&mut router);
            let before = router.state();
            let why = go(&mut router, &s, &everything("web"), Action::Install).unwrap_err();
            assert!(why.contains(words) && why.starts_with("routerpack: "), "{version}: {why}; wanted {words}");
            assert_eq!(router.state(), before, "{words}");
        }
    }
}

#[test]
fn a_recipe_for_a_version_or_disk_stops_elsewhere() {
    let Some(mut router) = Router::new("7.21.5", "7.21.5") else { return };
    let s = subject("one");
    upload(&mut router, &s, "web", Behaviour::Runs);
    let mut o = Options::new("web");
    o.routeros = Some("7.20".parse().unwrap());
    let why = go(&mut router, &s, &o, Action::Install).unwrap_err();
    assert!(why.contains("for RouterOS 7.20 and newer, before 7.21, and here is 7.21.5"), "{why}");
    o.routeros = None;
    o.disk = Disk::Slot("usb2".into());
    assert!(go(&mut router, &s, &o, Action::Install).unwrap_err().contains("no disk of the name"));
    router.disk("usb2", "fat32", 8 << 30);
    assert!(go(&mut router, &s, &o, Action::Install).unwrap_err().contains("containers need ext4 or btrfs"));
}

/// arm/v7 dies on the CPU that calls itself arm and isn't.
#[test]
fn arm_v7_is_refused_on_en7562ct_and_arm_v5_is_not() {
    for (variant, fits) in [("v5", true), ("v7", false), ("", false)] {
        let Some(mut router) = Router::new("7.20.8", "7.20.8") else { return };
        let resource = router.singles.get_mut("/system/resource").unwrap();
        resource.insert("architecture-name".into(), Value::text("arm"));
        resource.insert("cpu".into(), Value::text("EN7562CT"));
        let mut s = subject("one");
        (s.config.architecture, s.config.variant) = ("arm".into(), variant.into());
        upload(&mut router, &s, "web", Behaviour::Runs);
        assert_eq!(go(&mut router, &s, &Options::new("web"), Action::Install).is_ok(), fits, "{variant}");
    }
}

#[test]
fn a_prerelease_newer_than_all_is_told() {
    let Some(mut router) = Router::new("7.25beta5", "7.24") else { return };
    let s = subject("one");
    upload(&mut router, &s, "web", Behaviour::Runs);
    go(&mut router, &s, &Options::new("web"), Action::Install).unwrap();
    assert!(router.screen.contains("not published yet"), "{}", router.screen);
    assert_eq!(containers(&router), is(&s, "running"));
}
