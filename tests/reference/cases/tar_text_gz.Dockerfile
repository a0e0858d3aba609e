FROM scratch
ADD tars/text.gz /x/
