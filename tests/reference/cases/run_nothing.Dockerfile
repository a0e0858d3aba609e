FROM busybox
RUN true
RUN echo hi
USER 1
RUN true
