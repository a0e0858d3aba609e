FROM busybox
RUN ln -s /no/where /dang
COPY a.txt /dang/
COPY b.txt /dang/sub/
