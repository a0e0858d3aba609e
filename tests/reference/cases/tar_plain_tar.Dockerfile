FROM scratch
ADD tars/plain.tar /x/
