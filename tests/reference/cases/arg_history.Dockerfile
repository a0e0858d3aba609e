# arguments: --build-arg=A=x --build-arg=B=two\ words --build-arg=http_proxy=http://proxy --build-arg=NO_PROXY=none
FROM busybox
ARG A
ARG C=c
ARG A=again
RUN echo one
ARG NO_PROXY
RUN echo "$http_proxy,$NO_PROXY" > /proxy
COPY a.txt /${A}
WORKDIR /$C
