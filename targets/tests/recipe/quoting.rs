//! No byte of a value leaves its string.

use proptest::prelude::*;
use routerpack_targets::recipe::{Disk, Mount, Options, quote};

use crate::{
    console::{Behaviour, Parser, Router, Upload, Value, import, trees},
    recipe, subject,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also inside of a string that is parsed again.
    #[test]
    fn a_string_reads_back(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let Some(trees) = trees() else { return Ok(()) };
        let syntax = crate::console::Syntax { tree: &trees["7.24"], container: true };
        let inner = format!(":put {}", quote(&value));
        let outer = format!(":parse {}", quote(inner.as_bytes()));
        let mut parser = Parser::new(outer.as_bytes(), syntax);
        let statement = parser.statement().unwrap().unwrap();
        prop_assert!(parser.statement().unwrap().is_none());
        prop_assert_eq!(&statement.values[..], &[crate::console::constant(inner.as_bytes())]);
        let mut parser = Parser::new(inner.as_bytes(), syntax);
        let statement = parser.statement().unwrap().unwrap();
        prop_assert_eq!(&statement.values[..], &[crate::console::constant(&value)]);
        prop_assert!(parser.statement().unwrap().is_none());
    }

    /// In a whole recipe, in every place for a value: it arrives on the router as it was given.
    #[test]
    fn values_arrive(
        key in "[^=\0]{1,20}", value in "[^\0]{0,80}", dst in "/[^\0]{0,30}", src in "/[^\0.]{0,30}",
        user in "[^\0]{1,20}", lan in "[^\0]{1,20}", slot in "[^/\0]{1,12}", old in any::<bool>(),
    ) {
        let version = if old { "7.9" } else { "7.24" };
        let Some(mut router) = Router::new(version, version) else { return Ok(()) };
        let s = subject("one");
        let mut o = Options::new("web");
        o.env = vec![(key.clone(), value.clone())];
        o.mounts = vec![Mount { src: Some(src.clone()), dst: dst.clone(), read_only: false }];
        o.user = Some(user.clone());
        o.hostname = Some(value.clone() + "%TAG%");
        o.disk = Disk::Slot(slot.clone());
        router.disk(&slot, "btrfs", 8 << 30);
        router.upload(&format!("{slot}/web-{}.tar", &s.id.hex()[..12]), Upload { size: 1000, image: s.id.hex().into(), behaviour: Behaviour::Runs });
        o.lan = Some(lan.clone());
        let before: Vec<String> = router.menus.keys().cloned().collect();
        let script = recipe(&s, &o).script;
        prop_assert!(import(&mut router, &script).is_ok());
        let one = |menu: &str| router.tagged(menu, "routerpack:web");
        let env = one("/container/envs");
        prop_assert_eq!(env.len(), 1);
        prop_assert_eq!(&env[0]["key"], &Value::text(&key));
        prop_assert_eq!(&env[0]["value"], &Value::text(&value));
        let mounts = one("/container/mounts");
        let mount = mounts.iter().find(|m| m["dst"] == Value::text(&dst)).unwrap();
        prop_assert_eq!(&mount["src"], &Value::text(&src));
        let container = one("/container");
        prop_assert_eq!(container.len(), 1);
        prop_assert_eq!(&container[0]["user"], &Value::text(&user));
        prop_assert_eq!(&container[0]["hostname"], &Value::text(value + "%TAG%"));
        prop_assert!(container[0]["root-dir"].bytes().starts_with(slot.as_bytes()));
        // Nothing else came of it.
        for menu in router.menus.keys().filter(|m| !before.contains(m)) {
            prop_assert!(["/container", "/container/envs", "/container/mounts", "/interface/veth", "/interface/bridge/port"].contains(&&menu[..]), "{}", menu);
        }
    }
}
