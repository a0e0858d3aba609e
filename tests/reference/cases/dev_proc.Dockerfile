FROM busybox
RUN ls /dev | sort > /devs; ls -ld /dev/shm /dev/null /dev/pts | cut -c1-10 > /modes; grep -c . /proc/self/mountinfo >/dev/null; echo x > /dev/shm/x
RUN cat /proc/self/status | grep -E '^(Cap|Seccomp:|NoNewPrivs)' > /caps; id > /id; env | sort > /env; cat /proc/mounts | cut -d' ' -f2 | sort > /mounts
