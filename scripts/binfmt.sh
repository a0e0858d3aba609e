# Sourced by scripts that need the machine's binfmt_misc in a certain state, and put it back at their end. `sudo` is an
# array: what comes before a command that needs root.
#
#   binfmt_open       mounts it, if it isn't
#   binfmt_register   switches it on, and registers Debian's qemu for the platforms that routers have
#   binfmt_restore    takes back what the two have done, and what was written to $binfmt/status

binfmt=/proc/sys/fs/binfmt_misc
binfmt_mounted=no binfmt_registered=() binfmt_status=absent
binfmt_write() { printf '%s\n' "$1" | "${sudo[@]}" tee "$2" >/dev/null; }

binfmt_open() {
  if [ ! -e "$binfmt/status" ]; then
    [ -d "$binfmt" ] || "${sudo[@]}" modprobe binfmt_misc
    "${sudo[@]}" mount -t binfmt_misc binfmt_misc "$binfmt" || {
      echo "error: binfmt_misc can't be mounted here, so no foreign image can be run by docker or podman." >&2
      echo "  In a container, run it with --privileged; on a machine, load the kernel's module: modprobe binfmt_misc" >&2
      exit 1; }
    binfmt_mounted=yes
  fi
  binfmt_status=$(cat "$binfmt/status")
}

binfmt_register() {
  local name rule
  binfmt_write 1 "$binfmt/status"
  for name in aarch64 arm x86_64; do
    [ "$name" != "$(uname -m)" ] && [ ! -e "$binfmt/qemu-$name" ] || continue
    rule=/usr/lib/binfmt.d/qemu-$name.conf
    [ -e "$rule" ] || { echo "error: no rule to register qemu-$name: apt-get install --reinstall qemu-user-static" >&2; exit 1; }
    binfmt_write "$(grep -v '^#' "$rule" | head -1)" "$binfmt/register"
    binfmt_registered+=("qemu-$name")
  done
}

binfmt_restore() {
  set +e
  local entry
  for entry in "${binfmt_registered[@]}"; do binfmt_write -1 "$binfmt/$entry"; done
  [ "$binfmt_status" = enabled ] && binfmt_write 1 "$binfmt/status"
  [ "$binfmt_status" = disabled ] && binfmt_write 0 "$binfmt/status"
  [ "$binfmt_mounted" = yes ] && "${sudo[@]}" umount "$binfmt"
}
