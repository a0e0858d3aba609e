FROM busybox
RUN ln -s /loop /loop
COPY a.txt /loop/
