//! The rules for routers.

use routerpack_frontends::dockerfile::lower::Options;
use routerpack_graph::Platform;

use crate::world::{World, options};
use crate::{Mode, lint};

fn found(source: &str, options: &Options) -> Vec<String> {
    let v7 = r#"{"Cmd":["/bin/sh"]}"#;
    let world = World::new().image("docker.io/library/alpine:3", v7).image("docker.io/library/debian:latest", v7);
    let (found, error) = lint(source, options, &world, Mode::Build);
    assert_eq!(error, None, "{source}");
    found
        .iter()
        .filter_map(|f| f.split_once(':'))
        .map(|(f, _)| f)
        .filter(|f| f.contains("Router"))
        .map(str::to_string)
        .collect()
}

#[test]
fn what_a_router_minds() {
    for (source, expected) in [
        ("FROM alpine", vec![]),
        ("FROM scratch", vec!["1 RouterNoCommand"]),
        ("FROM scratch AS a\nCMD [\"/a\"]\nFROM a", vec![]),
        ("FROM alpine\nENTRYPOINT []\nCMD []", vec!["1 RouterNoCommand"]),
        ("FROM alpine\nRUN echo 'ip route add 1.1.1.1 dev eth0' > /start", vec!["2 RouterHardcodedEth0"]),
        (
            "FROM alpine\nCOPY <<E /start\nip addr show eth0\nE\nCMD [\"x\", \"--bind=eth0\"]",
            vec!["2 RouterHardcodedEth0", "5 RouterHardcodedEth0"],
        ),
        ("FROM alpine\nENV IFACE=eth0 A=veth0 B=eth01\nLABEL a=eth0", vec!["2 RouterHardcodedEth0"]),
        ("FROM alpine\nENV A=veth0 B=eth01 C=xeth0", vec![]),
        // a stage that isn't in the image has no network on the router
        ("FROM alpine AS b\nRUN ip link show eth0\nFROM alpine\nCOPY --from=b /a /a", vec![]),
        ("FROM alpine AS b\nRUN ip link show eth0\nFROM b", vec!["2 RouterHardcodedEth0"]),
        ("FROM alpine\nVOLUME /data\nEXPOSE 80", vec!["2 RouterVolumeNeedsMount", "3 RouterExposeNeedsNat"]),
        ("FROM alpine\nHEALTHCHECK CMD x\n", vec!["2 RouterHealthcheckIgnored"]),
        ("FROM alpine\nHEALTHCHECK NONE\n", vec![]),
        ("FROM alpine\nRUN apk add --no-cache curl iptables", vec!["2 RouterIptablesNft"]),
        ("FROM alpine\nRUN apk add iptables iptables-legacy", vec![]),
        ("FROM alpine\nRUN apt-get update && apt-get install -y nftables", vec!["2 RouterIptablesNft"]),
        ("FROM alpine\nRUN apk add curl && echo iptables", vec![]),
        ("FROM alpine\nCMD nft -f /rules", vec!["2 RouterIptablesNft"]),
        ("FROM alpine\nRUN apk add iptables\nRUN ln -s iptables-legacy /sbin/iptables", vec![]),
        ("FROM alpine\nRUN mkdir -p /dev/net && mknod /dev/net/tun c 10 200", vec!["2 RouterTunDeviceNode"]),
        ("FROM alpine\nRUN mkdir -p /dev/net; ls /dev/net/tun", vec![]),
        ("FROM alpine\nVOLUME /d\nUSER 1000\n", vec!["2 RouterVolumeNeedsMount", "3 RouterNonRootMount"]),
        ("FROM alpine\nUSER app\n", vec![]),
        ("FROM alpine\nVOLUME /d\nUSER 0:0", vec!["2 RouterVolumeNeedsMount"]),
        ("# check=skip=RouterNoCommand\nFROM scratch", vec![]),
        ("FROM alpine\n# check=skip=RouterExposeNeedsNat\nEXPOSE 1\nEXPOSE 2", vec!["4 RouterExposeNeedsNat"]),
        ("# check=error=true\nFROM scratch", vec!["2 RouterNoCommand"]),
    ] {
        assert_eq!(found(source, &options()), expected, "{source}");
    }
}

#[test]
fn bases_without_arm_v5() {
    let v5 = Options { platform: Some(Platform::new("linux", "arm", "v5")), ..options() };
    let alpine = "FROM alpine:3 AS a\nFROM a";
    assert_eq!(found(alpine, &v5), ["1 RouterBaseLacksArmV5"]);
    assert_eq!(found("FROM debian", &v5), [""; 0]);
    assert_eq!(found(alpine, &options()), [""; 0]);
    // what only builds is emulated, whatever it is
    assert_eq!(found("FROM alpine AS a\nFROM debian\nCOPY --from=a /a /", &v5), [""; 0]);
}
