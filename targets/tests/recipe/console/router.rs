//! The router: its menus as lists of items, and what containers do as time passes.

use std::collections::BTreeMap;

use super::{
    Failure, Syntax, Tree, Value,
    syntax::{Expr, Where},
    trees,
};

/// What becomes of an image on the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Runs,
    /// Unpacking fails.
    Broken,
    /// Unpacking never ends.
    Hangs,
    /// Ends at once.
    Exits,
}

/// An uploaded archive, or an image of a registry.
#[derive(Clone, Debug)]
pub struct Upload {
    pub size: i64,
    pub image: String,
    pub behaviour: Behaviour,
}

pub type Item = BTreeMap<String, Value>;

/// Its state.
#[derive(Clone)]
pub struct Router {
    pub version: String,
    pub menus: BTreeMap<String, Vec<Item>>,
    pub singles: BTreeMap<String, Item>,
    pub images: BTreeMap<String, Upload>,
    pub globals: BTreeMap<String, Value>,
    pub screen: String,
    pub clock: i64,
    tree: &'static Tree,
    serial: u32,
}

type Result<T> = std::result::Result<T, Failure>;

fn run<T>(what: impl Into<String>) -> Result<T> {
    Err(Failure::Run(what.into()))
}

fn item(fields: &[(&str, Value)]) -> Item {
    fields.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
}

impl Router {
    /// An arm64 router with the default configuration's rules, the container package and one USB disk. `tree` is the
    /// version whose commands it has.
    pub fn new(version: &str, tree: &str) -> Option<Self> {
        let t = |text: &str| Value::text(text);
        let mut router = Self {
            version: version.into(),
            menus: BTreeMap::new(),
            singles: BTreeMap::new(),
            images: BTreeMap::new(),
            globals: BTreeMap::new(),
            screen: String::new(),
            clock: 0,
            tree: trees()?.get(tree)?,
            serial: 1,
        };
        let resource = [
            ("version", t(&format!("{version} (stable)"))),
            ("architecture-name", t("arm64")),
            ("cpu", t("ARM64")),
            ("free-hdd-space", Value::Number(40 << 20)),
        ];
        router.singles.insert("/system/resource".into(), item(&resource));
        router.singles.insert("/system/device-mode".into(), item(&[("container", Value::Bool(true))]));
        router.singles.insert("/ip/dns".into(), item(&[("servers", t("")), ("dynamic-servers", t("10.1.1.1"))]));
        router.singles.insert("/container/config".into(), item(&[("tmpdir", t("")), ("registry-url", t(""))]));
        router.put("/system/package", &[("name", t("container")), ("disabled", Value::Bool(false))]);
        router.disk("usb1", "ext4", 8 << 30);
        router.put("/interface/list", &[("name", t("LAN"))]);
        router.put("/interface/list", &[("name", t("WAN"))]);
        router.put("/interface/bridge", &[("name", t("bridge")), ("comment", t("defconf"))]);
        router.address("192.168.88.1/24", Value::Ip(0xc0a8_5800), "bridge");
        for (chain, action) in [("input", "accept"), ("input", "drop"), ("input", "drop"), ("forward", "drop")] {
            router.put("/ip/firewall/filter", &[("chain", t(chain)), ("action", t(action)), ("comment", t("defconf"))]);
            router
                .put("/ipv6/firewall/filter", &[("chain", t(chain)), ("action", t(action)), ("comment", t("defconf"))]);
        }
        router
            .put("/ip/firewall/nat", &[("chain", t("srcnat")), ("action", t("masquerade")), ("comment", t("defconf"))]);
        Some(router)
    }

    pub fn syntax(&self) -> Syntax {
        let packages = self.items("/system/package");
        Syntax { tree: self.tree, container: packages.iter().any(|p| p["name"] == Value::text("container")) }
    }

    pub fn items(&self, menu: &str) -> &[Item] {
        self.menus.get(menu).map_or(&[], |items| &items[..])
    }

    /// The items that carry a comment.
    pub fn tagged(&self, menu: &str, comment: &str) -> Vec<&Item> {
        self.items(menu).iter().filter(|i| i.get("comment") == Some(&Value::text(comment))).collect()
    }

    fn put(&mut self, menu: &str, fields: &[(&str, Value)]) -> Value {
        let mut new = item(fields);
        let id = Value::text(format!("*{:X}", self.serial));
        self.serial += 1;
        new.insert(".id".into(), id.clone());
        self.menus.entry(menu.into()).or_default().push(new);
        id
    }

    pub fn disk(&mut self, slot: &str, fs: &str, free: i64) {
        self.put("/disk", &[("slot", Value::text(slot)), ("fs", Value::text(fs)), ("free", Value::Number(free))]);
    }

    pub fn address(&mut self, address: &str, network: Value, interface: &str) {
        let fields = [("address", Value::text(address)), ("network", network), ("interface", Value::text(interface))];
        self.put("/ip/address", &fields);
    }

    pub fn upload(&mut self, path: &str, upload: Upload) {
        self.put("/file", &[("name", Value::text(path)), ("size", Value::Number(upload.size))]);
        self.images.insert(path.into(), upload);
    }

    /// All that lasts, as text: what two runs leave can be compared.
    pub fn state(&self) -> String {
        format!("{:#?}{:#?}", self.menus, self.singles)
    }

    fn newer(&self, minor: u32) -> bool {
        self.version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).is_some_and(|m| m >= minor)
    }

    /// Seconds pass: images are unpacked after 12, containers stop after 3.
    pub fn wait(&mut self, seconds: i64) {
        self.clock += seconds;
        let (clock, shows_id) = (self.clock, self.newer(22));
        let mut roots = Vec::new();
        for container in self.menus.get_mut("/container").into_iter().flatten() {
            let since = clock - container["_since"].number().unwrap_or(0);
            let image = container.get("_image").map(Value::string).unwrap_or_default();
            let Some(image) = self.images.get(&image) else { continue };
            let state = match (&container["_state"].string()[..], image.behaviour) {
                ("extracting", Behaviour::Broken) if since >= 12 => "error",
                ("extracting", Behaviour::Runs | Behaviour::Exits) if since >= 12 => {
                    container.insert("os".into(), Value::text("linux"));
                    if shows_id {
                        container.insert("image-id".into(), Value::text(&image.image));
                    }
                    roots.push(container["root-dir"].clone());
                    "stopped"
                }
                ("running", Behaviour::Exits) if since >= 1 => "stopped",
                ("stopping", _) if since >= 3 => "stopped",
                _ => continue,
            };
            container.insert("_state".into(), Value::text(state));
            container.insert("_since".into(), Value::Number(clock));
        }
        for root in roots {
            self.put("/file", &[("name", root), ("type", Value::text("container store"))]);
        }
    }

    fn row(&self, menu: &str, item: &Item) -> Value {
        let mut fields: Item =
            item.iter().filter(|(k, _)| !k.starts_with('_')).map(|(k, v)| (k.clone(), v.clone())).collect();
        if menu == "/container" {
            let state = item["_state"].string();
            match () {
                () if self.newer(23) => fields
                    .insert(if state == "error" { "download/extract failed".into() } else { state }, Value::Bool(true)),
                () if self.newer(21) && matches!(&state[..], "running" | "stopped") => {
                    fields.insert(format!(".{state}"), Value::Bool(true))
                }
                () => fields.insert("status".into(), Value::text(state)),
            };
        }
        Value::Array(fields.into_iter().map(|(k, v)| (Some(k.into_bytes()), v)).collect())
    }

    fn find(&self, menu: &str, filter: Option<&Where>) -> Vec<Item> {
        let items = self.items(menu).iter();
        items.filter(|i| filter.is_none_or(|f| matches(i, f))).cloned().collect()
    }

    fn index(&self, menu: &str, id: &Value) -> Result<usize> {
        let found = self.items(menu).iter().position(|i| i[".id"] == *id);
        found.map_or_else(|| run(format!("no such item in {menu}")), Ok)
    }

    pub fn command(
        &mut self,
        word: &str,
        values: &[Value],
        named: Vec<(String, Value)>,
        filter: Option<&Where>,
    ) -> Result<Value> {
        let (menu, verb) = word.rsplit_once('/').unwrap_or_default();
        let ids = values.first().cloned().unwrap_or(Value::Nothing);
        match verb {
            "find" => Ok(Value::Array(self.find(menu, filter).iter().map(|i| (None, i[".id"].clone())).collect())),
            "print" => match self.singles.get(menu) {
                Some(single) => Ok(self.row("", single)),
                None => Ok(Value::Array(self.find(menu, filter).iter().map(|i| (None, self.row(menu, i))).collect())),
            },
            "get" => {
                let (item, property) = match self.singles.get(menu) {
                    Some(single) => (single, &values[0]),
                    None => (&self.items(menu)[self.index(menu, &values[0])?], &values[1]),
                };
                Ok(item.get(&property.string()).cloned().unwrap_or(Value::Nothing))
            }
            "set" if !self.singles.contains_key(menu) => {
                let at = self.index(menu, &ids)?;
                self.menus.entry(menu.into()).or_default()[at].extend(named);
                Ok(Value::Nothing)
            }
            "set" => {
                let single = self.singles.get_mut(menu).ok_or(Failure::Bug(format!("{word} is not for lists")))?;
                single.extend(named);
                Ok(Value::Nothing)
            }
            "add" => self.add(menu, named),
            "remove" => {
                for id in ids.items() {
                    let at = self.index(menu, &id)?;
                    if menu == "/container" {
                        let state = self.items(menu)[at]["_state"].string();
                        if !matches!(&state[..], "stopped" | "error") {
                            return run(format!("container is {state}"));
                        }
                        let root = self.items(menu)[at]["root-dir"].clone();
                        self.menus.entry("/file".into()).or_default().retain(|f| f["name"] != root);
                    }
                    self.menus.entry(menu.into()).or_default().remove(at);
                }
                Ok(Value::Nothing)
            }
            "start" | "stop" => {
                let at = self.index(menu, &ids)?;
                let clock = self.clock;
                let container = &mut self.menus.entry(menu.into()).or_default()[at];
                let state = container["_state"].string();
                let next = match (&state[..], verb) {
                    ("stopped", "start") => "running",
                    ("running", "stop") => "stopping",
                    _ => return run(format!("can't {verb}: {state}")),
                };
                container.insert("_state".into(), Value::text(next));
                container.insert("_since".into(), Value::Number(clock));
                Ok(Value::Nothing)
            }
            _ => Err(Failure::Bug(format!("{word} is not modelled"))),
        }
    }

    fn has(&self, menu: &str, key: &str, value: &Value) -> bool {
        self.items(menu).iter().any(|i| i.get(key) == Some(value))
    }

    fn add(&mut self, menu: &str, mut named: Vec<(String, Value)>) -> Result<Value> {
        let before = named.iter().position(|(key, _)| key == "place-before").map(|i| named.remove(i).1);
        let get = |key: &str| named.iter().find(|(k, _)| k == key).map(|(_, v)| v);
        let known = |v: &Value| self.has("/interface/veth", "name", v) || self.has("/interface/bridge", "name", v);
        for key in ["interface", "bridge", "in-interface"] {
            if let Some(name) = get(key).filter(|v| !known(v)) {
                return run(format!("input does not match any value of {key}: {}", name.string()));
            }
        }
        if get("in-interface-list").is_some_and(|v| !self.has("/interface/list", "name", v)) {
            return run("input does not match any value of interface-list");
        }
        if menu.starts_with("/interface/") && get("name").is_some_and(known) {
            return run("failure: already have interface with such name");
        }
        let mut extra = Vec::new();
        if menu == "/container" {
            let root = get("root-dir").cloned().unwrap_or(Value::Nothing);
            if self.has("/container", "root-dir", &root) {
                return run("root-dir overlap");
            }
            if get("name").is_some_and(|name| self.has("/container", "name", name)) {
                return run("failure: name is taken");
            }
            let lists = [
                ("envlist", "/container/envs", "name"),
                ("envlists", "/container/envs", "list"),
                ("mounts", "/container/mounts", "name"),
                ("mountlists", "/container/mounts", "list"),
            ];
            for (argument, menu, key) in lists {
                for name in
                    get(argument).iter().flat_map(|v| v.string().split(',').map(str::to_string).collect::<Vec<_>>())
                {
                    if !self.has(menu, key, &Value::text(&name)) {
                        return run(format!("{argument}: no such list {name}"));
                    }
                }
            }
            let image = match get("file") {
                Some(file) if !self.has("/file", "name", file) => return run("input does not match any value of file"),
                Some(file) => file.clone(),
                None => get("remote-image").cloned().unwrap_or(Value::Nothing),
            };
            extra =
                vec![("_image", image), ("_state", Value::text("extracting")), ("_since", Value::Number(self.clock))];
        }
        let fields: Vec<(&str, Value)> = named.iter().map(|(k, v)| (k.as_str(), v.clone())).chain(extra).collect();
        let id = self.put(menu, &fields);
        if let Some(before) = before {
            let at = self.index(menu, &before)?;
            let items = self.menus.entry(menu.into()).or_default();
            let new = items.pop().expect("the new item");
            items.insert(at, new);
        }
        Ok(id)
    }
}

fn matches(item: &Item, filter: &Where) -> bool {
    match filter {
        Where::Test(key, equal, Expr::Constant(value)) => {
            (item.get(key).map(Value::bytes).unwrap_or_default() == value.bytes()) == *equal
        }
        Where::Test(..) => false,
        Where::All(tests) => tests.iter().all(|t| matches(item, t)),
        Where::Any(tests) => tests.iter().any(|t| matches(item, t)),
    }
}
