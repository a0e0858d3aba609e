FROM scratch
ADD tars/text.tar /x/
