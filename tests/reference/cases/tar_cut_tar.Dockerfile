FROM scratch
ADD tars/cut.tar /x/
