FROM busybox
COPY --chmod=600 a.txt script.sh /six/
COPY --chmod=01777 dir /dir
ADD --chmod=640 b.txt /deep/er/
