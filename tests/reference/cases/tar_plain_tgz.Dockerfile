FROM scratch
ADD tars/plain.tgz /x/
