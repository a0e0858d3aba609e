FROM scratch
ADD tars/plain.tar.bz2 /x/
