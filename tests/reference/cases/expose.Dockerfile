# arguments: --build-arg=P=9000-9002/udp
FROM busybox
ARG P
EXPOSE 80 443/tcp 53/UDP 8000-8003 $P
EXPOSE 80/udp 127.0.0.1:8080:81 1:82
EXPOSE 132/sctp
