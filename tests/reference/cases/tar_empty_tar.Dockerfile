FROM scratch
ADD tars/empty.tar /x/
