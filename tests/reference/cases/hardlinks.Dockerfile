FROM scratch
COPY hard /hard
COPY hard dir /together/
COPY hard/two /two
