//! Runs before qemu in every process of a step with hybrid emulation: where the program that is to be emulated is one that
//! the step's [`Table`] knows, and all is as the table wants it, the process becomes the native twin; else this returns and
//! qemu begins, as if nothing had been.
//!
//! `build.rs` compiles this file by itself and keeps the instructions alone; the sandbox puts them, and the table behind them,
//! into its copy of qemu. So there is no libc, no allocation, no constant that needs an address (they are in the table), and
//! nothing that panics.

#![no_std]
#![no_builtins]

mod table;

use core::arch::asm;
use core::mem::MaybeUninit;

use table::{Identity, Table, Tool, Witness, letter};

#[cfg(target_arch = "x86_64")]
const STATX: usize = 332;
#[cfg(target_arch = "x86_64")]
const EXECVE: usize = 59;
#[cfg(target_arch = "aarch64")]
const STATX: usize = 291;
#[cfg(target_arch = "aarch64")]
const EXECVE: usize = 221;

const AT_FDCWD: isize = -100;
const STATX_BASIC_STATS: usize = 0x7ff;
const ENOENT: isize = -2;

/// `stack` is where the process found argc: with binfmt_misc's flag P, argv is the interpreter's name, the program's path, its
/// `argv[0]`, its arguments. Three words below `stack` are free.
///
/// # Safety
/// `stack` is a process's initial stack, and `table` a whole and correct table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dispatch(stack: *mut usize, table: *const Table) {
    // SAFETY: argv and envp end in a null word each, texts in a zero byte, and the table is as its maker promises.
    unsafe {
        let argc = *stack;
        let argv = stack.add(1);
        let envp = argv.add(argc).add(1);
        if argc < 3 || !accepts_environment(table, envp) {
            return;
        }
        let Some(tool) = find(table, *argv.add(1)) else { return };
        if !accepts_arguments(table, tool, argv.add(3)) || !is_unchanged(table, tool) {
            return;
        }
        // The loader's own arguments take the place of argc and the three words behind it.
        let first = stack.sub(3);
        let kept = [*stack, *stack.add(1), *stack.add(2), *stack.add(3)];
        let loader = text(table, (*tool).loader) as usize;
        *first = loader;
        *first.add(1) = text(table, (*table).inhibit_cache) as usize;
        *first.add(2) = text(table, (*table).library_path) as usize;
        *first.add(3) = text(table, (*table).libraries) as usize;
        *first.add(4) = text(table, (*table).argv0) as usize;
        *first.add(5) = kept[3];
        *first.add(6) = text(table, (*tool).native) as usize;
        system(EXECVE, [loader, first as usize, envp as usize, 0, 0]);
        // Out of reach (in a chroot of the step's own, say).
        *stack = kept[0];
        *stack.add(1) = kept[1];
        *stack.add(2) = kept[2];
        *stack.add(3) = kept[3];
    }
}

#[inline(always)]
unsafe fn text(table: *const Table, offset: usize) -> *const u8 {
    // SAFETY: the table's offsets lie inside it.
    unsafe { table.cast::<u8>().add(offset) }
}

/// The tool that a path leads to.
#[inline(always)]
unsafe fn find(table: *const Table, path: usize) -> Option<*const Tool> {
    // SAFETY: `count` tools stand at that offset.
    unsafe {
        let Ok(found) = look(path) else { return None };
        let tools = text(table, (*table).tools).cast::<Tool>();
        let mut n = 0;
        while n < (*table).count {
            let tool = tools.add(n);
            if is(&(*tool).identity, &found) {
                return Some(tool);
            }
            n += 1;
        }
        None
    }
}

/// No variable makes the two do different things.
#[inline(always)]
unsafe fn accepts_environment(table: *const Table, mut envp: *const usize) -> bool {
    // SAFETY: see `dispatch`.
    unsafe {
        while *envp != 0 {
            let variable = *envp as *const u8;
            if begins_with_any(variable, text(table, (*table).refused)) {
                return false;
            }
            if let Some(value) = locale(variable)
                && *value != 0
                && !is_any(value, text(table, (*table).locales))
            {
                return false;
            }
            envp = envp.add(1);
        }
        true
    }
}

/// The value of a variable that chooses a locale.
#[inline(always)]
unsafe fn locale(variable: *const u8) -> Option<*const u8> {
    // SAFETY: nothing behind a zero byte is read.
    unsafe {
        if *variable != b'L' {
            return None;
        }
        if *variable.add(1) == b'C' && *variable.add(2) == b'_' {
            let mut at = variable;
            while *at != b'=' {
                if *at == 0 {
                    return None;
                }
                at = at.add(1);
            }
            return Some(at.add(1));
        }
        let is_lang = *variable.add(1) == b'A'
            && *variable.add(2) == b'N'
            && *variable.add(3) == b'G'
            && *variable.add(4) == b'=';
        if is_lang { Some(variable.add(5)) } else { None }
    }
}

/// No argument asks for what the two do differently.
#[inline(always)]
unsafe fn accepts_arguments(table: *const Table, tool: *const Tool, mut args: *const usize) -> bool {
    // SAFETY: see `dispatch`.
    unsafe {
        while *args != 0 {
            let arg = *args as *const u8;
            let first = *arg;
            if (first == b'-' || first == b'+' || first.wrapping_sub(b'0') < 10) && holds(arg, (*tool).letters) {
                return false;
            }
            if begins_with_any(arg, text(table, (*tool).prefixes)) {
                return false;
            }
            args = args.add(1);
        }
        true
    }
}

#[inline(always)]
unsafe fn holds(mut arg: *const u8, letters: u64) -> bool {
    // SAFETY: nothing behind the zero byte is read.
    unsafe {
        while *arg != 0 {
            if letter(*arg) & letters != 0 {
                return true;
            }
            arg = arg.add(1);
        }
        false
    }
}

/// Libraries and settings are what they were when the step began.
#[inline(always)]
unsafe fn is_unchanged(table: *const Table, tool: *const Tool) -> bool {
    // SAFETY: a bit is set for witnesses that are there alone.
    unsafe {
        let all = text(table, (*table).witnesses).cast::<Witness>();
        let words = &raw const (*tool).witnesses as *const u64;
        let mut n = 0;
        while n < 128 {
            if *words.add(n / 64) >> (n % 64) & 1 != 0 {
                let witness = all.add(n);
                let then = &(*witness).identity;
                match look(text(table, (*witness).path) as usize) {
                    Ok(now) if is(then, &now) => {}
                    Err(ENOENT) if then.inode == 0 => {}
                    _ => return false,
                }
            }
            n += 1;
        }
        true
    }
}

#[inline(always)]
fn is(then: &Identity, now: &Identity) -> bool {
    then.inode == now.inode
        && then.device == now.device
        && then.size == now.size
        && then.mtime[0] == now.mtime[0]
        && then.mtime[1] == now.mtime[1]
        && then.ctime[0] == now.ctime[0]
        && then.ctime[1] == now.ctime[1]
}

/// Whether one of the list's texts is the beginning.
#[inline(always)]
unsafe fn begins_with_any(whole: *const u8, list: *const u8) -> bool {
    // SAFETY: see `any`.
    unsafe { any(whole, list, false) }
}

/// Whether it is one of the list's texts.
#[inline(always)]
unsafe fn is_any(whole: *const u8, list: *const u8) -> bool {
    // SAFETY: see `any`.
    unsafe { any(whole, list, true) }
}

#[inline(always)]
unsafe fn any(whole: *const u8, mut list: *const u8, all: bool) -> bool {
    // SAFETY: `whole` ends in a zero byte, the list in an empty text.
    unsafe {
        while *list != 0 {
            let mut n = 0;
            while *list.add(n) != 0 && *list.add(n) == *whole.add(n) {
                n += 1;
            }
            if *list.add(n) == 0 && (!all || *whole.add(n) == 0) {
                return true;
            }
            while *list != 0 {
                list = list.add(1);
            }
            list = list.add(1);
        }
        false
    }
}

/// What is at a path now, links followed; or the kernel's error, negative.
#[inline(always)]
unsafe fn look(path: usize) -> Result<Identity, isize> {
    // statx(2): struct statx, 256 bytes, the same for all machines.
    let mut found = MaybeUninit::<[u64; 32]>::uninit();
    // SAFETY: the path ends in a zero byte, and there is room for the answer, which the kernel fills if it returns 0.
    unsafe {
        let error = system(STATX, [AT_FDCWD as usize, path, 0, STATX_BASIC_STATS, found.as_mut_ptr() as usize]);
        if error != 0 {
            return Err(error);
        }
        let word = found.as_ptr().cast::<u64>();
        Ok(Identity {
            device: *word.add(17),
            inode: *word.add(4),
            size: *word.add(5),
            mtime: [*word.add(14), *word.add(15) & 0xffff_ffff],
            ctime: [*word.add(12), *word.add(13) & 0xffff_ffff],
        })
    }
}

/// A system call.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn system(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: these are the registers of the kernel's calling convention; what the call does is the caller's matter.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn system(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: these are the registers of the kernel's calling convention; what the call does is the caller's matter.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}
