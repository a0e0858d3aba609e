FROM busybox
WORKDIR /w/x
COPY a.txt ../../../../up/
COPY b.txt ..
COPY c.txt* a.txt ./
