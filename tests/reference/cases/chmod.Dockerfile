FROM busybox
RUN mkdir /six
COPY --chmod=600 a.txt script.sh /six/
COPY --chmod=4711 a.txt /four
COPY --chmod=0 setuid /zero
ADD --chmod=640 b.txt /six/b
