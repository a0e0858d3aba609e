FROM scratch
ADD tars/plain.tar.zst /x/
