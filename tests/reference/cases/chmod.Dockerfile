FROM busybox
COPY --chmod=600 a.txt script.sh /six/
COPY --chmod=4711 a.txt /four
COPY --chmod=01777 dir /dir
COPY --chmod=0 setuid /zero
ADD --chmod=640 b.txt /deep/er/
