FROM scratch
COPY <<EOT file
no base
EOT
