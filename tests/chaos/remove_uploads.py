#!/usr/bin/env python3
"""Removes every multipart upload that is under way in a bucket, as a lifecycle rule would: remove_uploads.py URL BUCKET. Prints how many there were."""

import sys

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    url, bucket = sys.argv[1:]
    s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    removed = 0
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            try:
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                removed += 1
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":  # completed meanwhile
                    raise
    print(removed)


if __name__ == "__main__":
    main()
