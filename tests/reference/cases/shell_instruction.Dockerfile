FROM busybox AS a
SHELL ["/bin/sh", "-e", "-c"]
RUN echo $- > /flags
CMD run it
FROM a
RUN echo inherited $- > /inherited
ENTRYPOINT start it
HEALTHCHECK CMD check it
