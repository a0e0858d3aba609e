FROM busybox
RUN --mount=type=tmpfs,target=/had/it mkdir -p /had && touch /had/file
RUN --mount=type=bind,source=a.txt,target=/etc/passwd head -1 /etc/passwd > /first
