FROM busybox
RUN mkdir -p /d/sub /tmp/x && chmod 700 /d /d/sub && chown 9:9 /d /d/sub && touch -d @1 /d
COPY dir /d
COPY tree/ /tmp
