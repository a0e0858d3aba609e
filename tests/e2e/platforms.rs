//! RUN steps for each platform that a router has, with that router's CPU.

use crate::support::{Archive, PLATFORMS, World};

#[test]
fn each_platform_runs_its_steps_and_its_bytes_are_there() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT\n\
         RUN uname -m > /machine && echo $TARGETPLATFORM/$TARGETARCH/$TARGETVARIANT > /args && mkdir /d && ln /machine /d/hard && ln -s ../machine /d/soft\n\
         RUN env -i /bin/uname -m > /clean && env | grep -c QEMU > /qemu; true\n",
    );
    for (platform, machine) in PLATFORMS {
        let archive = world.build(&world.path("ctx"), "p.tar", &["--platform", platform]);
        let archive = Archive::read(&archive);
        let entries = archive.entries();
        assert_eq!(archive.text("clean"), format!("{machine}\n"), "{platform}");
        assert_eq!(archive.text("qemu"), "0\n", "nothing of the emulator shows");
        let parts: Vec<&str> = platform.split('/').collect();
        assert_eq!(archive.text("args"), format!("{platform}/{}/{}\n", parts[1], parts.get(2).unwrap_or(&"")));
        // of two names of one file, the first by path holds the bytes
        assert_eq!(entries["d/hard"].text(), format!("{machine}\n"), "{platform}");
        assert_eq!((entries["machine"].kind, entries["machine"].link.as_str()), ('1', "d/hard"));
        assert_eq!(entries["d/soft"].link, "../machine");
        assert_eq!(archive.config["architecture"], parts[1]);
    }
}

#[test]
fn what_would_die_on_the_router_dies_in_the_build() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nCOPY --chmod=755 program /program\nRUN /program\n");
    for (name, instruction) in [("vfp", 0xeeb7_0a00_u32), ("movw", 0xe300_0001), ("dmb", 0xf57f_f05f)] {
        world.write("ctx/program", arm_program(&[instruction]));
        let build = |platform: &str| {
            let arguments = [
                "build",
                "--progress=plain",
                "--platform",
                platform,
                "--build-context",
                &world.base_context("busybox"),
                "-o",
                "x.tar",
                "ctx",
            ];
            world.routerpack(arguments)
        };
        build("linux/arm/v7").success();
        build("linux/arm/v5").failure().says(&["linux/arm/v5", "newer CPU"]);
        assert!(name.len() > 2);
    }
}

/// A static 32-bit ARM program that executes these instructions and then calls `exit(0)`.
fn arm_program(instructions: &[u32]) -> Vec<u8> {
    let code: Vec<u32> = instructions.iter().copied().chain([0xe3a0_0000, 0xe3a0_7001, 0xef00_0000]).collect();
    let size = 52 + 32 + 4 * code.len() as u32;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2_u16, 40].iter().flat_map(|n| n.to_le_bytes()));
    let entry = 0x10000 + 52 + 32;
    elf.extend([1_u32, entry, 52, 0, 0x0500_0000].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend([1_u32, 0, 0x10000, 0x10000, size, size, 5, 0x1000].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend(code.iter().flat_map(|n| n.to_le_bytes()));
    elf
}
