FROM busybox
RUN mkdir /data && echo before > /data/before
VOLUME /data /other
RUN echo after > /data/after; mkdir -p /other && echo x > /other/x
VOLUME ["/json path", "/data"]
COPY a.txt /data/
