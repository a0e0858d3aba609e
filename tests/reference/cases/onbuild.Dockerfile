FROM busybox AS parent
ONBUILD ARG X=1
ONBUILD RUN echo triggered $X > /triggered
ONBUILD COPY a.txt /onbuild/
ONBUILD ENV FROM_PARENT=yes
ONBUILD WORKDIR /trig
ONBUILD CMD ["trig"]
FROM parent AS child
RUN pwd > /where
FROM child
ONBUILD LABEL again=yes
ONBUILD EXPOSE 80
