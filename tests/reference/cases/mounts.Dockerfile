FROM busybox
RUN --mount=type=bind,source=a.txt,target=/mnt/stub/file cat /mnt/stub/file > /read
RUN --mount=type=tmpfs,target=/gone/tmp echo x > /gone/tmp/x && echo y > /gone/y
RUN --mount=type=cache,target=/var/cache/made,uid=5,gid=6,mode=0711 ls -ldn /var/cache/made | cut -c1-10 > /cache && echo z > /var/cache/made/z
RUN --mount=type=secret,id=none,target=/run/secrets/none true
RUN --mount=target=/ctx,rw rm /ctx/a.txt && ls /ctx > /ls
WORKDIR /w
RUN --mount=type=bind,source=dir,target=rel ls rel > /rel && touch made
RUN --mount=type=bind,source=dir,target=/bin/nothing true
