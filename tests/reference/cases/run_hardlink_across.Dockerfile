FROM busybox
COPY a.txt /one
RUN ln /one /two
RUN echo more >> /two
