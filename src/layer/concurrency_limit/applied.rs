//! What handlers and responses are told of a decision, and the permit that the body takes over.

use http::{Extensions, Response};

use super::body::InFlightBody;
use crate::layer::gate::Note;
use crate::respond::ResponseBody;
use crate::store::concurrency::{Occupancy, Permit};

/// A decision in the form in which it is told.
#[derive(Debug)]
pub enum Applied {
    Admitted(Permit),
    Refused(Occupancy),
}

impl Applied {
    const fn occupancy(&self) -> Occupancy {
        match self {
            Self::Admitted(permit) => permit.occupancy(),
            Self::Refused(occupancy) => *occupancy,
        }
    }
}

impl Note for Applied {
    type Body<B> = InFlightBody<B>;

    fn annotate_request(&self, extensions: &mut Extensions) {
        extensions.insert(self.occupancy());
    }

    fn annotate_response<B>(
        note: Option<Self>,
        mut response: Response<ResponseBody<B>>,
    ) -> Response<InFlightBody<B>> {
        if let Some(applied) = &note {
            response.extensions_mut().insert(applied.occupancy());
        }
        let permit = match note {
            Some(Self::Admitted(permit)) => Some(permit),
            Some(Self::Refused(_)) | None => None,
        };
        response.map(|body| InFlightBody::new(body, permit))
    }
}
