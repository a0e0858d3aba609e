//! The system calls that no safe wrapper covers: the only `unsafe` code of the workspace.
//!
//! Everything here is for a single-threaded process (the runner and what it forks).
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

/// One instruction of classic BPF, as `seccomp(2)` takes it.
pub type Bpf = libc::sock_filter;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `fork` into new namespaces (`CLONE_NEW…` bits; none for a plain fork). `None` in the child.
///
/// To be called with one thread only: the child has no other, and locks held by others would stay locked.
pub fn fork(namespaces: c_int) -> io::Result<Option<Pid>> {
    let flags = (namespaces | libc::SIGCHLD) as libc::c_ulong;
    // SAFETY: without CLONE_VM and with a null stack, clone is fork: the child goes on with a copy of
    // everything. The process is single-threaded, so no lock is held by a thread that the child lacks.
    // The argument order differs between architectures only in what is zero here.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(Pid::from_raw(pid as i32))
}

/// Lets no descriptor but the three standard ones live through an `exec`: what the caller was started with (a
/// directory of the host, say) must not reach a step. Linux 5.11.
pub fn close_others_on_exec() -> io::Result<()> {
    // SAFETY: takes three numbers and changes flags only.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}

/// Moves the process into new namespaces (`CLONE_NEW…` bits).
pub fn unshare(namespaces: c_int) -> io::Result<()> {
    // SAFETY: without CLONE_FILES and the like, which this crate never passes, no state that Rust relies on is
    // taken apart.
    check(unsafe { libc::unshare(namespaces) }.into())?;
    Ok(())
}

/// How many threads the process has.
pub fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes (`MOUNT_ATTR_…`) of a mount, or of the whole tree of mounts below it.
pub fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, set: u64) -> io::Result<()> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, `attr` is a live struct of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Loads a seccomp program for this process and all it will start. Needs `CAP_SYS_ADMIN` in the user
/// namespace, since `no_new_privs` stays off (set-id programs work in a `RUN`, as with Docker).
pub fn seccomp(program: &[Bpf]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `filter` points to `len` instructions that live during the call; the kernel copies them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) })?;
    Ok(())
}

/// Whether the kernel has seccomp filters that can answer with an error number.
pub fn has_seccomp() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: asks about an action; the pointer is to a live u32.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// What becomes of a signal.
#[derive(Clone, Copy)]
pub enum Disposition {
    /// Nothing.
    Ignore,
    /// What the kernel does by default.
    Default,
}

/// Sets what becomes of the given signals.
pub fn signals(which: &[c_int], disposition: Disposition) {
    let handler = match disposition {
        Disposition::Ignore => libc::SIG_IGN,
        Disposition::Default => libc::SIG_DFL,
    };
    for &signal in which {
        // SAFETY: SIG_IGN and SIG_DFL run no code of ours.
        unsafe { libc::signal(signal, handler) };
    }
}

fn set_of(signals: &[c_int]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, sigaddset works on an initialised one.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Blocks the signals and gives a descriptor that becomes readable when one is pending.
pub fn signal_fd(signals: &[c_int]) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: the set is initialised; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) }.into())?;
    // SAFETY: a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Lets all signals through.
pub fn unblock_signals() -> io::Result<()> {
    let set = set_of(&[]);
    // SAFETY: as above.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) }.into())?;
    Ok(())
}

/// Switches the loopback interface of the network namespace on.
pub fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is valid; the name is shorter than the field and ends in zeros; the
    // kernel reads name and flags only.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request).into())?;
    }
    Ok(())
}

/// Whether two files can share their data on this filesystem (`FICLONE`).
pub fn clone_file(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    // SAFETY: takes two descriptors and touches no memory.
    check(unsafe { libc::ioctl(to.as_fd().as_raw_fd(), libc::FICLONE as _, from.as_fd().as_raw_fd()).into() })?;
    Ok(())
}

/// Becomes the program at `path`. Returns only if that fails.
///
/// Unlike libc's `execvp` it does not hand files that the kernel refuses (`ENOEXEC`: another platform's) to a shell.
pub fn exec(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: all strings are live C strings; both arrays end in a null pointer.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program behind a descriptor, without arguments or environment. Returns only if that fails.
pub fn exec_fd(program: BorrowedFd<'_>) -> io::Error {
    let args = [c"probe".as_ptr(), std::ptr::null()];
    let env = [std::ptr::null::<libc::c_char>()];
    // SAFETY: the path is an empty C string; both arrays end in a null pointer.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr().cast::<c_void>(),
            env.as_ptr().cast::<c_void>(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Kills every process of the pid namespace but its init, which has to be the caller.
pub fn kill_all() {
    if rustix::process::getpid() == Pid::INIT {
        // SAFETY: takes two numbers. As pid 1 of a namespace, "all" ends at its border.
        unsafe { libc::kill(-1, libc::SIGKILL) };
    }
}
