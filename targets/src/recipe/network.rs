//! Block 2: bridge, interface, rules, variables, mounts.
//!
//! Rules are narrow. A port is taken only where it is the router's own address
//! (`dst-address-type=local`) and only from the list LAN: without these a rule catches what the LAN
//! sends anywhere, and the default configuration lets dst-natted traffic in from the Internet (MikroTik's
//! default configuration). That configuration drops what enters from no LAN interface, so the container's
//! questions to the router's resolver are accepted before the first drop. It masquerades already.

use std::net::Ipv6Addr;

use super::{
    Maker, Port,
    quote::{fill, quote},
};
use crate::profile::Version;

impl Maker<'_> {
    pub(super) fn network(&self, tag: &str) -> String {
        let subnet = self.options.subnet;
        let ports = self.options.ports.iter().map(|port| self.port(*port, tag));
        let rules = self.dns_rules(tag) + &self.ipv6_rule(tag) + &ports.collect::<String>();
        let lists = self.lists(tag);
        let holes: &[(&str, &str)] = &[
            ("TAG", tag),
            ("GATEWAY", &subnet.gateway().to_string()),
            ("LENGTH", &subnet.length.to_string()),
            ("NETWORK", &subnet.network.to_string()),
            ("SUBNET", &format!("{}/{}", subnet.network, subnet.length)),
            ("LAST", &subnet.last_host().to_string()),
            ("ADDRESS6", &self.address6()),
            ("VETH", &self.veth(tag)),
            ("VETH_NAME", &quote(self.names.veth.as_bytes())),
            ("RULES", rules.trim_end()),
            ("LISTS", lists.trim_end()),
            ("TMP", "\"routerpack-tmp\""),
        ];
        fill(include_str!("templates/network.rsc"), holes)
    }

    /// The router's and the container's address in the IPv6 network.
    fn hosts6(&self) -> Option<(Ipv6Addr, Ipv6Addr)> {
        let mut groups = self.options.subnet6?.segments();
        groups[4..].copy_from_slice(&[0, 0, 0, 1]);
        let router = Ipv6Addr::from(groups);
        groups[4..].copy_from_slice(&self.names.host6());
        Some((router, Ipv6Addr::from(groups)))
    }

    fn address6(&self) -> String {
        let Some((router, _)) = self.hosts6() else { return String::new() };
        format!(
            "    :if ([:len [/ipv6/address/find where interface=\"routerpack\" address=\"{router}/64\"]] = 0) do={{ /ipv6/address/add address={router}/64 advertise=no interface=\"routerpack\" comment=\"routerpack\" }}"
        )
    }

    /// `gateway6` is there from 7.11.
    fn veth(&self, tag: &str) -> String {
        let gateway = self.options.subnet.gateway();
        let name = quote(self.names.veth.as_bytes());
        let text = |version: Version| match self.hosts6() {
            Some((router, _)) if version >= Version::new(11, 0) => {
                format!(
                    "/interface/veth/add name={name} address=$addresses gateway={gateway} gateway6={router} comment={tag}"
                )
            }
            _ => format!("/interface/veth/add name={name} address=$address gateway={gateway} comment={tag}"),
        };
        let missing = |version: Version| {
            let without = self.options.subnet6.is_some() && version < Version::new(11, 0);
            if without { vec!["IPv6 of a container needs RouterOS 7.11".to_string()] } else { Vec::new() }
        };
        let length = self.options.subnet.length;
        let both = match self.hosts6() {
            Some((_, host)) => format!(" addresses=($ip . \"/{length},{host}/64\")"),
            None => String::new(),
        };
        self.function("addVeth", "      ", text, missing)
            + &format!("\n      $addVeth address=($ip . \"/{length}\"){both}")
    }

    /// For the router's own resolver; none when the container asks others.
    fn dns_rules(&self, tag: &str) -> String {
        let gateway = self.options.subnet.gateway();
        if !self.options.dns.is_empty() && !self.options.dns.iter().any(|ip| *ip == gateway) {
            return String::new();
        }
        let rule =
            |protocol: &str| fill(include_str!("templates/rule-dns.rsc"), &[("PROTOCOL", protocol), ("TAG", tag)]);
        rule("udp") + &rule("tcp")
    }

    fn ipv6_rule(&self, tag: &str) -> String {
        match self.hosts6() {
            Some((_, host)) => {
                fill(include_str!("templates/rule-ipv6.rsc"), &[("HOST6", &host.to_string()), ("TAG", tag)])
            }
            None => String::new(),
        }
    }

    fn port(&self, port: Port, tag: &str) -> String {
        let from = match &self.options.lan {
            _ if self.options.publish_wan => String::new(),
            Some(interface) => format!(" in-interface={}", quote(interface.as_bytes())),
            None => " in-interface-list=LAN".into(),
        };
        let holes: &[(&str, &str)] = &[
            ("PROTOCOL", port.protocol.word()),
            ("OUTSIDE", &port.outside.to_string()),
            ("INSIDE", &port.inside.to_string()),
            ("FROM", &from),
            ("TAG", tag),
        ];
        fill(include_str!("templates/rule-port.rsc"), holes)
    }

    /// Variables and mounts. `envs` have a `list` instead of a `name` from 7.20, mounts from 7.21.
    fn lists(&self, tag: &str) -> String {
        let list = quote(self.names.list.as_bytes());
        let mut out = String::new();
        if !self.options.env.is_empty() {
            let text = |version: Version| {
                let word = if version >= Version::new(20, 0) { "list" } else { "name" };
                format!("/container/envs/add {word}={list} key=$key value=$value comment={tag}")
            };
            out += &self.function("addEnv", "    ", text, |_| Vec::new());
            for (key, value) in &self.options.env {
                let (key, value) = (quote(key.as_bytes()), quote(value.as_bytes()));
                out += &format!(
                    "\n    :if ([:len [/container/envs/find where comment={tag} key={key}]] = 0) do={{ $addEnv key={key} value={value} }}"
                );
            }
            out.push('\n');
        }
        for (read_only, function) in [(false, "addMount"), (true, "addFixedMount")] {
            if self.mounts.iter().any(|m| m.read_only == read_only) {
                out += &self.mounts(function, read_only, tag, &list);
            }
        }
        out
    }

    fn mounts(&self, function: &str, read_only: bool, tag: &str, list: &str) -> String {
        let text = |version: Version| {
            let name = if version >= Version::new(21, 0) { format!("list={list}") } else { "name=$name".into() };
            let only = match read_only {
                true if version >= Version::new(23, 0) => " mode=ro",
                true if version >= Version::new(20, 0) => " read-only=yes",
                _ => "",
            };
            format!("/container/mounts/add {name} src=$from dst=$to{only} comment={tag}")
        };
        let missing = |version: Version| match read_only && version < Version::new(20, 0) {
            true => vec!["a read-only mount needs RouterOS 7.20: the container can write to it".to_string()],
            false => Vec::new(),
        };
        let mut out = self.function(function, "    ", text, missing);
        for (i, mount) in self.mounts.iter().enumerate().filter(|(_, m)| m.read_only == read_only) {
            let to = quote(mount.dst.as_bytes());
            let from = match self.names.source(mount) {
                Ok(path) => quote(path.as_bytes()),
                Err(below) => format!("($routerpackDisk . {})", quote(below.as_bytes())),
            };
            let name = quote(format!("{}-{}", self.names.list, i + 1).as_bytes());
            out += &format!(
                "\n    :if ([:len [/container/mounts/find where comment={tag} dst={to}]] = 0) do={{ ${function} name={name} from={from} to={to} }}"
            );
        }
        out.push('\n');
        out
    }
}
