FROM busybox
RUN mkdir -m 700 /existing && ln -s /existing /slink && ln -s target /dangling && chown 7:8 /existing
WORKDIR /existing
WORKDIR relative/deep
WORKDIR ../sideways
RUN pwd > /pwd1
WORKDIR /slink/below
RUN pwd > /pwd2
ENV D=/var/x
WORKDIR $D/${nothing:-y}
WORKDIR /a//b/./c/
RUN pwd > /pwd3
