FROM scratch
COPY dir/sub /dir/file
COPY dir /dir
