FROM busybox AS a
RUN mkdir /h && echo 1 > /h/1 && ln /h/1 /h/2 && ln /h/1 /outside
FROM scratch
COPY --from=a /h /h
COPY --from=a /h/1 /h/2 /apart/
COPY --from=a /outside /
