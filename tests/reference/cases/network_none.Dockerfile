FROM busybox
RUN --network=none ip addr | grep -c inet > /addr; ls /sys/class/net > /net
