FROM scratch
ADD tars/plain.tar.xz /x/
