//! The metadata.csv of such a folder.

use super::{Parser, metadata};

pub const PARSER: Parser = Parser { name: "metadata_csv", examples, read, room_bytes: 1 << 20 };

fn examples() -> Vec<Vec<u8>> {
    [
        "file_name,text,action,n\na.gif,a red square,walk,3\n",
        "file_name,text,rows,columns,fps\ngrid.png,\"a \"\"b\"\", c\",1,2,8\na.gif,d,,,\n",
        "file_name,text\n../secret.gif,x\n",
        "text,file_name\nx,missing.gif\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    metadata::read_as("metadata.csv", bytes)
}
