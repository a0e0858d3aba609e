# arguments: --build-arg=S=SIGQUIT
FROM busybox
ARG S
STOPSIGNAL $S
STOPSIGNAL 9
