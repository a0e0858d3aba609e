FROM scratch
ADD tars/absolute.tar /x/
