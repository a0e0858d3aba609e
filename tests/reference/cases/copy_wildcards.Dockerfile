FROM scratch
COPY *.txt /star/
COPY ?.txt /question/
COPY d*/f* /nested/
COPY odd/[[]x].txt /bracket/
COPY odd/* /odd/
COPY [^a]*t /class/
COPY odd/x.txt /one
COPY ["odd/with space.txt", "/spaced name"]
