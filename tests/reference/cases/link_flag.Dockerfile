FROM busybox
RUN mkdir -m 700 /real && chown 5:5 /real && ln -s real /sym && mkdir /dirs && echo f > /dirs/f
COPY --link a.txt /sym/
COPY --link dir /dirs/
COPY --link --chmod=600 a.txt /real/newfile
COPY --link=false b.txt /real/
ADD --link tars/plain.tar /t/
COPY --link a.txt /dirs
